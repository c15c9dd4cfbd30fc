"""What people would take instead of us, each at its best; ``make bench-peers`` installs it."""

from __future__ import annotations

from contenders import Contender

from peers import channels, nchan, socketio, uwsgi_api, ws

PEERS: dict[str, Contender] = {
    "uwsgi-api": uwsgi_api.CONTENDER,
    "channels-daphne": channels.DAPHNE,
    "channels-uvicorn": channels.UVICORN,
    "channels-pubsub": channels.PUBSUB,
    "nchan": nchan.CONTENDER,
    "ws": ws.CONTENDER,
    "socketio": socketio.CONTENDER,
}
