//! Bar charts as SVG: panels side by side, each with a scale of its own, a row for each server, and a bar for each series.
//!
//! Nothing is behind them, and colors of text follow the reader's scheme, so that they can be read in light and dark.

use std::fmt::Write as _;

/// Everything in pixels.
const PANEL_WIDTH: f64 = 430.0;
const MARGIN: f64 = 16.0;
const NAME_WIDTH: f64 = 92.0;
/// Room for a value behind the longest bar.
const VALUE_WIDTH: f64 = 64.0;
const HEAD: f64 = 58.0;
const PANEL_HEAD: f64 = 30.0;
const ROW_GAP: f64 = 9.0;

const STYLE: &str = "text{font:12px system-ui,sans-serif;fill:#24292f}.title{font-size:16px;font-weight:600}.panel{font-weight:600}.small{font-size:10.5px}\
.quiet{fill:#59636e}.spread{stroke:#24292f;stroke-width:1.2}.floor{fill:#8c959f}.own{fill:#2f81f7}.peer{fill:#db6d28}\
@media(prefers-color-scheme:dark){text{fill:#e6edf3}.quiet{fill:#9198a1}.spread{stroke:#e6edf3}}";

/// A median with its spread.
#[derive(Clone, Copy, Debug, PartialEq)]
pub(crate) struct Value {
    pub(crate) median: f64,
    pub(crate) min: f64,
    pub(crate) max: f64,
}

/// A server's values, one for each series.
pub(crate) struct Row {
    pub(crate) name: String,
    /// `floor`, `own` or `peer`: the color.
    pub(crate) class: &'static str,
    pub(crate) values: Vec<Value>,
}

/// One of the panels.
pub(crate) struct Panel {
    pub(crate) title: String,
    pub(crate) rows: Vec<Row>,
}

/// A chart of panels in two columns. Of several series, the first is the strongest in color.
pub(crate) fn chart(title: &str, note: &str, series: &[&str], panels: &[Panel]) -> String {
    let rows = panels.iter().map(|panel| panel.rows.len()).max();
    let bar = if series.len() == 1 { 16.0 } else { 11.0 };
    let row = bar * series.len() as f64 + ROW_GAP;
    let panel_height = PANEL_HEAD + row * rows.unwrap_or(0) as f64 + MARGIN;
    let columns = panels.len().clamp(1, 2);
    let width = PANEL_WIDTH * columns as f64;
    let height = HEAD + panel_height * panels.len().div_ceil(columns) as f64;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" viewBox=\"0 0 {width} {height}\" width=\"{width}\" height=\"{height}\" role=\"img\">\n<title>{title}</title>\n<style>{STYLE}</style>\n"
    );
    text(&mut svg, "title", MARGIN, 24.0, title);
    text(&mut svg, "quiet small", MARGIN, 42.0, note);
    for (number, panel) in panels.iter().enumerate() {
        let left = PANEL_WIDTH * (number % columns) as f64 + MARGIN;
        let top = HEAD + panel_height * (number / columns) as f64;
        draw(&mut svg, panel, series, (left, top), (row, bar));
    }
    svg.push_str("</svg>\n");
    svg
}

fn draw(svg: &mut String, panel: &Panel, series: &[&str], at: (f64, f64), heights: (f64, f64)) {
    let ((left, top), (row, bar)) = (at, heights);
    text(svg, "panel", left, top + 14.0, &panel.title);
    let most = panel.rows.iter().flat_map(|row| &row.values);
    let most = most
        .map(|value| value.max)
        .fold(f64::MIN_POSITIVE, f64::max);
    let from = left + NAME_WIDTH;
    let scale = (PANEL_WIDTH - MARGIN - NAME_WIDTH - VALUE_WIDTH) / most;
    for (number, of_server) in panel.rows.iter().enumerate() {
        let top = top + PANEL_HEAD + row * number as f64;
        let middle = top + (row - ROW_GAP) / 2.0 + 4.0;
        text(svg, "", left, middle, &of_server.name);
        for (number, value) in of_server.values.iter().enumerate() {
            let top = top + bar * number as f64;
            let length = value.median * scale;
            let opacity = 1.0 - 0.3 * number as f64;
            let (height, class) = (bar - 1.5, of_server.class);
            let label = series[number];
            writeln!(
                svg,
                "<rect class=\"{class}\" x=\"{from:.1}\" y=\"{top:.1}\" width=\"{length:.1}\" height=\"{height}\" fill-opacity=\"{opacity:.1}\"><title>{label}</title></rect>"
            )
            .unwrap();
            let middle = top + height / 2.0;
            if value.max > value.min {
                let (x1, x2) = (from + value.min * scale, from + value.max * scale);
                writeln!(
                    svg,
                    "<line class=\"spread\" x1=\"{x1:.1}\" x2=\"{x2:.1}\" y1=\"{middle:.1}\" y2=\"{middle:.1}\"/>"
                )
                .unwrap();
            }
            let end = from + value.max.max(value.median) * scale + 5.0;
            text(svg, "small", end, middle + 3.8, &digits(value.median));
        }
    }
}

fn text(svg: &mut String, class: &str, x: f64, y: f64, text: &str) {
    writeln!(
        svg,
        "<text class=\"{class}\" x=\"{x:.1}\" y=\"{y:.1}\">{text}</text>"
    )
    .unwrap();
}

/// Three digits, or all in front of the point.
fn digits(value: f64) -> String {
    let decimals = if value < 10.0 {
        2
    } else {
        usize::from(value < 100.0)
    };
    format!("{value:.decimals$}")
}
