"""What is lost in which fault: publishers that number their messages, clients that note what they get.

``make chaos`` runs all of it at full length and writes the table of the documentation; the acceptance
tests run a short form.
"""
