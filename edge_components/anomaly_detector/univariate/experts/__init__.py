"""The experts of the univariate detector. To add one, write its class in a file of this folder and append it here."""

from edge_components.anomaly_detector.univariate.experts.base import AnyExpert
from edge_components.anomaly_detector.univariate.experts.discord import Discord
from edge_components.anomaly_detector.univariate.experts.envelope import Envelope
from edge_components.anomaly_detector.univariate.experts.forecast import ForecastError
from edge_components.anomaly_detector.univariate.experts.gap import Gap
from edge_components.anomaly_detector.univariate.experts.level import Level
from edge_components.anomaly_detector.univariate.experts.noise import Noise
from edge_components.anomaly_detector.univariate.experts.outlier import Outlier
from edge_components.anomaly_detector.univariate.experts.season import Season
from edge_components.anomaly_detector.univariate.experts.shift import Shift
from edge_components.anomaly_detector.univariate.experts.spike import Spike
from edge_components.anomaly_detector.univariate.experts.step import Step
from edge_components.anomaly_detector.univariate.experts.stuck import Stuck
from edge_components.anomaly_detector.univariate.experts.trend import Trend
from edge_components.anomaly_detector.univariate.experts.weekday import Weekday

EXPERTS: tuple[type[AnyExpert], ...] = (
    Level,
    Shift,
    Spike,
    Step,
    Noise,
    ForecastError,
    Season,
    Trend,
    Stuck,
    Gap,
    Discord,
    Outlier,
    Weekday,
    Envelope,
)
