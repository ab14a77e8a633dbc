"""Draw figures: for `compare` as SVG and PNG files, for `report` as SVG inside its page."""
