"""The folder of a run: state, logs, interruption, what is kept and how it resumes."""
