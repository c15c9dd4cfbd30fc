"""Who may read which channel: everybody the broadcast, users their own. Nobody writes."""


def allowed_channels(request, channels):
    allowed = {"subscribe-broadcast"}
    if request.user.is_authenticated:
        allowed |= {"subscribe-user", "subscribe-group"}
    return allowed.intersection(channels)
