//! A page of metrics, family by family, in one of the two formats that scrapers read.

use std::{collections::HashMap, fmt};

use prometheus_client::{
    collector::Collector,
    encoding::{
        DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeMetric, text::encode,
    },
    metrics::{MetricType, counter::ConstCounter, exemplar::Exemplar, gauge::ConstGauge},
    registry::Registry,
};

use crate::meter::Observed;

/// How a scraper wants its page.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Format {
    /// OpenMetrics 1.0.
    OpenMetrics,
    /// The older text format of Prometheus, which everything else reads too.
    Prometheus,
}

impl Format {
    /// The format for a request with this `Accept` header.
    pub fn accepted(accept: &str) -> Self {
        let is_open = accept.contains("application/openmetrics-text");
        if is_open { Self::OpenMetrics } else { Self::Prometheus }
    }

    /// The `Content-Type` of a page.
    pub fn content_type(self) -> &'static str {
        match self {
            Self::OpenMetrics => "application/openmetrics-text; version=1.0.0; charset=utf-8",
            Self::Prometheus => "text/plain; version=0.0.4; charset=utf-8",
        }
    }
}

/// Writes a page in `format`; `fill` says what is on it.
pub(super) fn write(
    format: Format,
    fill: impl Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static,
) -> Result<String, fmt::Error> {
    let mut registry = Registry::default();
    registry.register_collector(Box::new(Once(fill)));
    let mut text = String::with_capacity(8192);
    encode(&mut text, &registry)?;
    Ok(match format {
        Format::OpenMetrics => text,
        Format::Prometheus => as_prometheus(&text),
    })
}

/// What the registry asks for the metrics of one scrape.
struct Once<F>(F);

impl<F> fmt::Debug for Once<F> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Once(…)")
    }
}

impl<F: Fn(&mut Page<'_>) -> fmt::Result + Send + Sync + 'static> Collector for Once<F> {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> fmt::Result {
        (self.0)(&mut Page(encoder))
    }
}

/// One label and its value.
pub(super) type Label<'a> = (&'a str, &'a str);

/// Examples for buckets, of which there are none here.
type Exemplars = HashMap<usize, Exemplar<[(&'static str, &'static str); 0], f64>>;

/// A page being written.
pub(super) struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    /// Writes a value that goes up and down; nothing at all while it is not known.
    pub(super) fn gauge<V: EncodeGaugeValue + Copy>(
        &mut self,
        name: &str,
        help: &str,
        value: Option<V>,
    ) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        ConstGauge::new(value).encode(encoder)
    }

    /// Writes a gauge with a value for each label; none at all while there are no values.
    pub(super) fn gauges<'l, V: EncodeGaugeValue + Copy>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = (Label<'l>, V)>,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Gauge)?;
        for (label, value) in values {
            ConstGauge::new(value).encode(encoder.encode_family(&[label])?)?;
        }
        Ok(())
    }

    /// Writes a value that only goes up; its samples are called `name` with `_total` after it.
    pub(super) fn counter<V: EncodeCounterValue + Copy>(
        &mut self,
        name: &str,
        help: &str,
        value: Option<V>,
    ) -> fmt::Result {
        let Some(value) = value else { return Ok(()) };
        let encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        ConstCounter::new(value).encode(encoder)
    }

    /// Writes a counter with a value for each set of labels.
    pub(super) fn counters<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([Label<'l>; N], u64)>,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Counter)?;
        for (labels, value) in values {
            ConstCounter::new(value).encode(encoder.encode_family(&labels)?)?;
        }
        Ok(())
    }

    /// Writes how often something took how long, for each set of labels; none at all while nothing
    /// has been observed.
    pub(super) fn histograms<'l, const N: usize>(
        &mut self,
        name: &str,
        help: &str,
        values: impl IntoIterator<Item = ([Label<'l>; N], Observed)>,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Histogram)?;
        for (labels, Observed { sum, count, buckets }) in values {
            if labels.is_empty() {
                encoder.encode_histogram(sum, count, &buckets, None::<&Exemplars>)?;
            } else {
                let mut encoder = encoder.encode_family(&labels)?;
                encoder.encode_histogram(sum, count, &buckets, None::<&Exemplars>)?;
            }
        }
        Ok(())
    }

    /// Writes texts that never change, as labels of a sample called `name` with `_info` after it.
    pub(super) fn info(&mut self, name: &str, help: &str, labels: [Label<'_>; 1]) -> fmt::Result {
        let mut encoder = self.0.encode_descriptor(name, help, None, MetricType::Info)?;
        encoder.encode_info(&labels)
    }
}

/// The same page in the older format. There a family has the name of its samples, so that the
/// descriptions of counters and infos have to be renamed; and there is no line for the end.
fn as_prometheus(open_metrics: &str) -> String {
    let mut page = String::with_capacity(open_metrics.len() + 256);
    let mut help = None;
    for line in open_metrics.lines() {
        if let Some(rest) = line.strip_prefix("# HELP ") {
            help = rest.split_once(' ');
        } else if let Some((family, kind)) =
            line.strip_prefix("# TYPE ").and_then(|rest| rest.split_once(' '))
        {
            let (suffix, kind) = match kind {
                "counter" => ("_total", kind),
                "info" => ("_info", "gauge"),
                _ => ("", kind),
            };
            if let Some((_, text)) = help.take() {
                page += &format!("# HELP {family}{suffix} {text}\n");
            }
            page += &format!("# TYPE {family}{suffix} {kind}\n");
        } else if line != "# EOF" {
            page += line;
            page.push('\n');
        }
    }
    page
}

#[cfg(test)]
mod tests {
    use super::*;

    fn page(format: Format) -> String {
        let fill = |page: &mut Page<'_>| {
            page.info("build", "What runs.", [("version", "1.2.3")])?;
            page.counters("runs", "Runs.", [([("job", "sweep"), ("result", "done")], 3)])?;
            page.gauges("keys", "Keys.", [(("state", "active"), 7_u64)])?;
            page.gauge("up", "Whether.", Some(1_u64))?;
            page.gauge("unknown", "Nobody knows.", None::<u64>)
        };
        write(format, fill).unwrap()
    }

    #[test]
    fn both_formats_say_the_same() {
        insta::assert_snapshot!(page(Format::OpenMetrics), @r#"
        # HELP build What runs.
        # TYPE build info
        build_info{version="1.2.3"} 1
        # HELP runs Runs.
        # TYPE runs counter
        runs_total{job="sweep",result="done"} 3
        # HELP keys Keys.
        # TYPE keys gauge
        keys{state="active"} 7
        # HELP up Whether.
        # TYPE up gauge
        up 1
        # EOF
        "#);
        insta::assert_snapshot!(page(Format::Prometheus), @r#"
        # HELP build_info What runs.
        # TYPE build_info gauge
        build_info{version="1.2.3"} 1
        # HELP runs_total Runs.
        # TYPE runs_total counter
        runs_total{job="sweep",result="done"} 3
        # HELP keys Keys.
        # TYPE keys gauge
        keys{state="active"} 7
        # HELP up Whether.
        # TYPE up gauge
        up 1
        "#);
    }

    #[test]
    fn prometheus_gets_open_metrics_and_a_browser_does_not() {
        let prometheus =
            "application/openmetrics-text;version=1.0.0,text/plain;version=0.0.4;q=0.3";
        assert_eq!(Format::accepted(prometheus), Format::OpenMetrics);
        assert_eq!(Format::accepted("text/html,*/*;q=0.8"), Format::Prometheus);
        assert_eq!(Format::accepted(""), Format::Prometheus);
    }
}
