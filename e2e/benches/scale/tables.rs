//! Tables of figures, a column for each and a row for each server and load.

use crate::figures::{Figures, spread};

/// A column: its title, the figure, and how much of it is shown.
pub(crate) struct Column {
    pub(crate) title: &'static str,
    pub(crate) figure: &'static str,
    pub(crate) shows: Shows,
}

/// The way in which a figure is shown.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Shows {
    /// Median, least and most.
    Spread,
    /// The median, without decimals.
    Whole,
    /// The median, with one decimal.
    Tenths,
    /// The median, in percent.
    Percent,
}

const WIDTH: usize = 25;
const NARROW: usize = 12;

impl Column {
    const fn width(&self) -> usize {
        match self.shows {
            Shows::Spread => WIDTH,
            _ => NARROW,
        }
    }

    fn text(&self, figures: &Figures, server: &str, load: &str) -> String {
        let figure = figures.get(server, Some(load), self.figure);
        let median = figure.map(|figure| figure.median);
        match self.shows {
            Shows::Spread => spread(figure),
            Shows::Whole => median.map_or_else(String::new, |value| format!("{value:.0}")),
            Shows::Tenths => median.map_or_else(String::new, |value| format!("{value:.1}")),
            Shows::Percent => {
                median.map_or_else(String::new, |value| format!("{:.0}%", value * 100.0))
            }
        }
    }
}

/// Prints the rows that were measured, if there are any.
#[allow(clippy::print_stdout)]
pub(crate) fn print(
    title: &str,
    columns: &[Column],
    rows: impl Iterator<Item = (String, String)>,
    figures: &Figures,
) {
    let measured = |(server, load): &(String, String)| {
        let mut columns = columns.iter();
        columns.any(|column| figures.get(server, Some(load), column.figure).is_some())
    };
    let rows: Vec<_> = rows.filter(measured).collect();
    if rows.is_empty() {
        return;
    }
    println!("{title}");
    let line = |head: [&str; 2], text: &dyn Fn(&Column) -> String| {
        print!("  {:<16}{:<17}", head[0], head[1]);
        for column in columns {
            let (text, width) = (text(column), column.width());
            print!("{text:>width$}");
        }
        println!();
    };
    line(["", ""], &|column| column.title.to_owned());
    for (server, load) in rows {
        line([&server, &load], &|column| {
            column.text(figures, &server, &load)
        });
    }
}
