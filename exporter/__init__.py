"""Prometheus exporter for Spark sessions on Alibaba Cloud EMR Serverless."""

__version__ = "0.1.0"
__revision__ = ""
"""The git commit; the build of a release writes it here."""
