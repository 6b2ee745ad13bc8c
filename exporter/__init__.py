"""Prometheus exporter for Spark sessions on Alibaba Cloud EMR Serverless.

`README.md` in this folder has the floors of the house, and says where what is.
"""

__version__ = "0.1.0"
__revision__ = ""
"""The git commit; the build of a release writes it here."""
