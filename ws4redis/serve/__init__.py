"""``manage.py ws4redis serve``: the websocket loop in processes of its own."""
