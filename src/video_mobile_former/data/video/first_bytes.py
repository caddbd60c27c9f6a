"""What a file is by its first bytes, and which of FFmpeg's demuxers may read it.

FFmpeg takes a playlist for a video and opens what it names: another file, or an address. Only
demuxers of this list are used, each of which reads only the file that it was given.
"""

from __future__ import annotations

HEAD_BYTES = 4096
"""What :func:`other_thing` looks at."""

_VIDEO = """
    3dostr 3g2 3gp 4xm alias_pix amv anm apng apv argo_asf asf asf_o av1 avi avr avs avs2 avs3
    bethsoftvid bfi bink bmv brender_pix c93 cavsvideo cdg cdxl cine cpk dhav dirac dnxhd dsicin dv
    dxa ea evc film_cpk filmstrip flic flv frm fwse gdv gif gxf h261 h263 h264 hevc hnm hxvs iamf
    ico idcin iff ifv ingenient ipmovie ipu iss iv8 ivf ivr jpegxl_anim jv kux live_flv lmlm4 lvf
    lxf m4a m4v matroska mgsts mj2 mjpeg mjpeg_2000 mlv mm mods moflex mov mp4 mpeg mpegts
    mpegtsraw mpegvideo mpjpeg msnwctcp mtv mv mvi mxf mxg nc nsv nut nuv obu ogg paf pmp pva qcp
    r3d rl2 rm roq rpl sdr2 ser sga siff simbiosis_imx smjpeg smk smush swf thp tiertexseq tmv txd
    ty usm vc1 vc1test vividas vivo vmd vvc wc3movie webm wsvqa wtv wv xmv yop yuv4mpegpipe
"""
_SOUND = """
    aac ac3 aiff amr ape au caf dts dtshd eac3 flac mlp mp2 mp3 tak truehd tta w64 wav
"""
"""Read far enough to say that there are no pictures in it."""
_PICTURES = """
    bmp_pipe dds_pipe dpx_pipe exr_pipe gem_pipe gif_pipe hdr_pipe j2k_pipe jpeg_pipe jpegls_pipe
    jpegxl_pipe jpegxs_pipe pam_pipe pbm_pipe pcx_pipe pfm_pipe pgm_pipe pgmyuv_pipe pgx_pipe
    phm_pipe pictor_pipe png_pipe ppm_pipe psd_pipe qdraw_pipe qoi_pipe sgi_pipe sunrast_pipe
    tiff_pipe vbn_pipe webp_pipe xbm_pipe xpm_pipe xwd_pipe
"""
DEMUXERS = ",".join(f"{_VIDEO} {_SOUND} {_PICTURES}".split())
"""Value of FFmpeg's option ``format_whitelist``. Excluded are lists of other files (``concat``,
``hls``, ``dash``, ``imf``, ``vobsub``), sessions (``sdp``, ``rtsp``), devices, filters, pictures
that a pattern of names describes, subtitles, and text shown as a film."""

_BEGINNINGS = (
    (b"\xff\xd8\xff", "a JPEG picture"),
    (b"\x89PNG", "a PNG picture"),
    (b"RIFF????WEBP", "a WebP picture"),
    (b"BM", "a BMP picture"),
    (b"%PDF", "a PDF document"),
    (b"PK\x03\x04", "a ZIP archive"),
    (b"\x1f\x8b", "a gzip archive"),
    (b"7z\xbc\xaf", "a 7-Zip archive"),
    (b"Rar!", "a RAR archive"),
    (b"\x93NUMPY", "a NumPy array"),
    (b"\x89HDF", "an HDF5 file"),
    (b"SQLite", "a database"),
    (b"\x7fELF", "a program"),
)
_LISTS = (
    (b"#extm3u", "an HLS playlist"),
    (b"ffconcat", "a list of files to join (ffconcat)"),
    (b"[playlist]", "a playlist (PLS)"),
    (b"[reference]", "a playlist (ASX)"),
    (b"<asx", "a playlist (ASX)"),
    (b"<smil", "a playlist (SMIL)"),
    (b"<mpd", "a DASH manifest"),
    (b"# vobsub", "an index of subtitles (VobSub)"),
    (b"v=0", "a session description (SDP)"),
    (b";ffmetadata", "metadata for FFmpeg"),
)
"""First bytes, in small letters, of text that names other files or addresses."""
_XML_LISTS = (
    (b"<mpd", "a DASH manifest"),
    (b"<smoothstreamingmedia", "a Smooth Streaming manifest"),
    (b"<compositionplaylist", "a composition playlist (IMF)"),
    (b"<smil", "a playlist (SMIL)"),
    (b"<playlist", "a playlist (XSPF)"),
)
_TEXT = frozenset(b"\t\n\r\x1b") | frozenset(range(32, 127)) | frozenset(range(128, 256))


def other_thing(head: bytes) -> str | None:
    """Say what a file is, where its first bytes are known not to be those of a video.

    Args:
        head: The first :data:`HEAD_BYTES` of it, or all there is.

    Returns:
        A noun with its article, or None.
    """
    for begin, what in _BEGINNINGS:
        if len(head) >= len(begin) and all(
            wanted in (ord("?"), found) for wanted, found in zip(begin, head, strict=False)
        ):
            return "an animated WebP picture" if _is_animated_webp(head) else what
    text = head.removeprefix(b"\xef\xbb\xbf").lstrip().lower()
    for begin, what in _LISTS:
        if text.startswith(begin):
            return f"{what}; what it names is not opened"
    if text.startswith(b"<"):
        for tag, what in _XML_LISTS:
            if tag in text:
                return f"{what}; what it names is not opened"
    if head and all(byte in _TEXT for byte in head):
        page = text.startswith((b"<!doctype html", b"<html"))
        return "a web page" if page else "text"
    return None


def _is_animated_webp(head: bytes) -> bool:
    return head[12:16] == b"VP8X" and len(head) > 20 and bool(head[20] & 2)
