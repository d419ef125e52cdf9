//! Curves as a small SVG.

use std::fmt::Write as _;

/// Points under one name.
pub(crate) struct Curve {
    /// What they are of.
    pub(crate) name: &'static str,
    /// A number, and how many seconds it took.
    pub(crate) points: Vec<(f64, f64)>,
}

/// Curves over one axis.
pub(crate) struct Panel {
    /// What is shown.
    pub(crate) title: String,
    /// What there is more of to the right.
    pub(crate) axis: &'static str,
    /// What is compared.
    pub(crate) curves: Vec<Curve>,
}

const COLOURS: [&str; 3] = ["#1f6feb", "#bc4c00", "#1a7f37"];
/// Of one panel, in pixels: its size, and where its axes are.
const WIDTH: f64 = 400.0;
const HEIGHT: f64 = 300.0;
const LEFT: f64 = 60.0;
const RIGHT: f64 = 20.0;
const TOP: f64 = 40.0;
const BOTTOM: f64 = 50.0;

/// Draws the panels side by side.
pub(crate) fn draw(panels: &[Panel]) -> String {
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {0} {HEIGHT}\" width=\"{0}\" \
         height=\"{HEIGHT}\" font-family=\"sans-serif\" font-size=\"12\">\n\
         <rect width=\"100%\" height=\"100%\" fill=\"white\"/>\n",
        WIDTH * panels.len() as f64
    );
    for (n, panel) in panels.iter().enumerate() {
        let _ = writeln!(svg, "<g transform=\"translate({} 0)\">", WIDTH * n as f64);
        panel.draw(&mut svg);
        svg += "</g>\n";
    }
    svg + "</svg>\n"
}

impl Panel {
    /// Writing into a String cannot fail.
    fn draw(&self, svg: &mut String) {
        let most = |of: fn(&(f64, f64)) -> f64| {
            let all = self.curves.iter().flat_map(|curve| &curve.points).map(of);
            all.fold(f64::MIN_POSITIVE, f64::max)
        };
        let (most_x, most_y) = (most(|point| point.0), round_up(most(|point| point.1)));
        let (bottom, right) = (HEIGHT - BOTTOM, WIDTH - RIGHT);
        let x = |value: f64| LEFT + value / most_x * (right - LEFT);
        let y = |value: f64| bottom - value / most_y * (bottom - TOP);
        let _ = writeln!(
            svg,
            "<text x=\"{LEFT}\" y=\"20\" font-weight=\"bold\">{}</text>\n\
             <path d=\"M{LEFT} {TOP}V{bottom}H{right}\" fill=\"none\" stroke=\"#57606a\"/>",
            self.title
        );
        for part in [0.25, 0.5, 0.75, 1.0] {
            let (value, at) = (most_y * part, y(most_y * part));
            let _ = writeln!(
                svg,
                "<path d=\"M{LEFT} {at:.1}H{right}\" stroke=\"#d0d7de\"/>\
                 <text x=\"{}\" y=\"{:.1}\" text-anchor=\"end\">{} s</text>",
                LEFT - 6.0,
                at + 4.0,
                shortest(value)
            );
            let _ = writeln!(
                svg,
                "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
                x(most_x * part),
                bottom + 18.0,
                thousands(most_x * part)
            );
        }
        let _ = writeln!(
            svg,
            "<text x=\"{:.1}\" y=\"{}\" text-anchor=\"middle\">{}</text>",
            f64::midpoint(LEFT, right),
            bottom + 38.0,
            self.axis
        );
        for (n, (curve, colour)) in self.curves.iter().zip(COLOURS).enumerate() {
            let line: Vec<String> =
                curve.points.iter().map(|at| format!("{:.1},{:.1}", x(at.0), y(at.1))).collect();
            let _ = writeln!(
                svg,
                "<polyline points=\"{}\" fill=\"none\" stroke=\"{colour}\" stroke-width=\"2\"/>",
                line.join(" ")
            );
            for point in &line {
                let (x, y) = point.split_once(',').unwrap_or_default();
                let _ = writeln!(svg, "<circle cx=\"{x}\" cy=\"{y}\" r=\"3\" fill=\"{colour}\"/>");
            }
            let _ = writeln!(
                svg,
                "<text x=\"{}\" y=\"{}\" fill=\"{colour}\">{}</text>",
                LEFT + 10.0,
                TOP + 14.0 + 16.0 * n as f64,
                curve.name
            );
        }
    }
}

/// The next 1, 2 or 5 with zeros: an axis ends there.
fn round_up(value: f64) -> f64 {
    let ten = 10_f64.powf(value.log10().floor());
    let steps = [1.0, 2.0, 4.0, 6.0, 8.0, 10.0];
    steps.into_iter().map(|step| step * ten).find(|step| value <= *step).unwrap_or(value)
}

fn shortest(value: f64) -> String {
    let text = format!("{value:.2}");
    text.trim_end_matches('0').trim_end_matches('.').to_owned()
}

fn thousands(value: f64) -> String {
    match value {
        1e6.. => format!("{} M", shortest(value / 1e6)),
        _ => format!("{} k", shortest(value / 1e3)),
    }
}
