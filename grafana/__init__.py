"""Dashboards as code: `make dashboards` writes the JSON beside this."""
