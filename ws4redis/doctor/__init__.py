"""``manage.py ws4redis check``: tries everything a site needs, and names what is wrong."""
