"""Writing clips again so that training reads them fast: prepared folders and shards."""
