"""Read what a page says from the database and the runs' folders."""
