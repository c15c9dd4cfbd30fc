"""Test cases as a site writes them, run by Django's own test runner."""
