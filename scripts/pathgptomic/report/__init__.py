"""Report stage: metrics, statistics, figures and the HTML report."""
