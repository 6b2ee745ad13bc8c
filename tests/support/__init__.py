"""What tests share: the exporter in the process of the test, real processes, pages, worlds."""
