"""What is lost in which fault: publishers number their messages, clients note what they get.

``make chaos`` runs all of it at full length and writes the table of the documentation; the
acceptance tests run a short form.
"""
