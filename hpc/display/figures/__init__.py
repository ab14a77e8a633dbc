"""Draw figures of comparisons, as SVG and PNG."""
