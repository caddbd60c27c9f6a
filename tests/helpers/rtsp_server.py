"""An RTSP server on loopback, run by the system's Python, whose GStreamer it needs.

    /usr/bin/python3 rtsp_server.py PORT WIDTH HEIGHT RATE [USER PASSWORD]

Gives ``/live`` (a moving ball in H.264) and ``/sound`` (no pictures), and prints ``ready`` when
both are there. Tests start it through ``live_parts.RtspServer``.
"""

from __future__ import annotations

import sys
from typing import Any

PICTURES = (
    "( videotestsrc is-live=true pattern=ball ! video/x-raw,width={w},height={h},framerate={r}/1 "
    "! x264enc tune=zerolatency speed-preset=ultrafast key-int-max={r} threads=1 "
    "! rtph264pay name=pay0 pt=96 config-interval=1 )"
)
SOUND = "( audiotestsrc is-live=true ! alawenc ! rtppcmapay name=pay0 pt=8 )"


def serve(port: str, width: str, height: str, rate: str, *login: str) -> None:
    import gi  # pyright: ignore[reportMissingImports] - of the system's Python

    gi.require_version("Gst", "1.0")
    gi.require_version("GstRtspServer", "1.0")
    from gi.repository import GLib, Gst, GstRtspServer  # pyright: ignore[reportMissingImports]

    Gst.init(None)
    server = GstRtspServer.RTSPServer()
    server.set_address("127.0.0.1")
    server.set_service(port)
    if login:
        auth = GstRtspServer.RTSPAuth()
        token = GstRtspServer.RTSPToken()
        token.set_string("media.factory.role", "user")
        auth.add_basic(GstRtspServer.RTSPAuth.make_basic(*login), token)
        server.set_auth(auth)
    for path, launch in (("/live", PICTURES), ("/sound", SOUND)):
        factory: Any = GstRtspServer.RTSPMediaFactory()
        factory.set_launch(launch.format(w=width, h=height, r=rate))
        factory.set_shared(True)
        if login:
            roles = GstRtspServer.RTSPPermissions()
            roles.add_permission_for_role("user", "media.factory.access", True)
            roles.add_permission_for_role("user", "media.factory.construct", True)
            factory.set_permissions(roles)
        server.get_mount_points().add_factory(path, factory)
    server.attach(None)
    print("ready", flush=True)
    GLib.MainLoop().run()


if __name__ == "__main__":
    serve(*sys.argv[1:])
