"""The studio: pages in your browser, served to this machine by the command that you started."""
