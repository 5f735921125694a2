//! Parts of a Markdown document.

/// A line of a document, with its number.
type Line<'a> = (usize, &'a str);

/// Splits a document into running text (tables and headings included) and indented blocks of code. Fenced blocks and sections
/// that are generated are neither.
fn split(markdown: &str) -> (Vec<Line<'_>>, Vec<Line<'_>>) {
    let (mut is_fenced, mut is_generated) = (false, false);
    let (mut prose, mut code) = (vec![], vec![]);
    for (index, text) in markdown.lines().enumerate() {
        let is_fence = text.trim_start().starts_with("```");
        is_fenced ^= is_fence;
        is_generated |= text.starts_with("<!-- begin ");
        if !(is_fence || is_fenced || is_generated) {
            let part = if text.starts_with("    ") {
                &mut code
            } else {
                &mut prose
            };
            part.push((index + 1, text));
        }
        is_generated &= !text.starts_with("<!-- end ");
    }
    (prose, code)
}

/// Lines of running text, with their numbers.
pub(crate) fn prose(markdown: &str) -> Vec<Line<'_>> {
    split(markdown).0
}

/// Commands that may be named: code spans, and lines of blocks of code without their comments.
pub(crate) fn commands(markdown: &str) -> Vec<String> {
    let (_, code) = split(markdown);
    let lines = code
        .into_iter()
        .filter_map(|(_, line)| line.split(" #").next());
    let lines = lines.map(|line| line.trim().to_owned());
    code_spans(markdown).into_iter().chain(lines).collect()
}

/// Returns the text between each pair of backticks in running text, on one line.
pub(crate) fn code_spans(markdown: &str) -> Vec<String> {
    let lines = prose(markdown);
    let text: String = lines.iter().flat_map(|(_, line)| [*line, "\n"]).collect();
    let spans = text.split('`').skip(1).step_by(2);
    let words = spans.map(|span| span.split_whitespace().collect::<Vec<_>>());
    words.map(|words| words.join(" ")).collect()
}

pub(crate) fn links(markdown: &str) -> Vec<String> {
    let parts = markdown.split("](").skip(1);
    let targets = parts.filter_map(|part| part.split([')', ' ']).next());
    targets.map(str::to_owned).collect()
}
