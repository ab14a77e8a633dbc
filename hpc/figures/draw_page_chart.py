"""Draw whatever a page of `hpc report` shows as a chart."""

from hpc.figures.charts import Chart
from hpc.figures.draw_charts import draw_chart, draw_planned
from hpc.figures.inline_svg import SvgElement
from hpc.figures.plan import CalibrationFigure, MonthsFigure, PlannedFigure


def draw_page_chart(chart: Chart | PlannedFigure, *, is_narrow: bool = False) -> SvgElement:
    """Return a chart, or a figure of a comparison, as SVG.

    Args:
        chart: what to draw.
        is_narrow: whether it has to be readable on a phone, without scrolling.
    """
    if isinstance(chart, CalibrationFigure | MonthsFigure):
        return draw_planned(chart, is_narrow=is_narrow)
    return draw_chart(chart, is_narrow=is_narrow)
