"""Draw whatever a page of `hpc report` shows as a chart."""

from hpc.figures.charts import Chart
from hpc.figures.draw_charts import draw_chart, draw_planned
from hpc.figures.inline_svg import SvgElement
from hpc.figures.plan import CalibrationFigure, MonthsFigure, PlannedFigure


def draw_page_chart(chart: Chart | PlannedFigure) -> SvgElement:
    """Return a chart, or a figure of a comparison, as SVG."""
    if isinstance(chart, CalibrationFigure | MonthsFigure):
        return draw_planned(chart)
    return draw_chart(chart)
