//! Draws what a program printed on a terminal as an SVG: each character in its cell, colours by
//! class, so that one picture serves light and dark pages.

use std::fmt::Write as _;

/// Width of a cell and height of a line, in pixels, at the size of the font below.
const CELL: f64 = 8.4;
const LINE: f64 = 20.0;
/// Around the text, and above it where the window's title is.
const MARGIN: f64 = 22.0;
const TITLE: f64 = 36.0;

const STYLE: &str = "
  text { font: 14px ui-monospace, 'SF Mono', Menlo, Consolas, 'DejaVu Sans Mono', monospace;
         fill: #1f2328 }
  .window { fill: #ffffff; stroke: #d1d9e0 }
  .bar { fill: #f6f8fa } .rule { stroke: #d1d9e0 }
  .title { text-anchor: middle; font-size: 13px; fill: #59636e }
  .dim { fill: #6e7781 } .strong { font-weight: 600 } .good { fill: #1a7f37 }
  .busy { fill: #9a6700 } .bad { fill: #cf222e }
  @media (prefers-color-scheme: dark) {
    text { fill: #e6edf3 }
    .window { fill: #0d1117; stroke: #3d444d }
    .bar { fill: #151b23 } .rule { stroke: #3d444d }
    .title { fill: #9198a1 } .dim { fill: #8b949e }
    .good { fill: #56d364 } .busy { fill: #e3b341 } .bad { fill: #ff7b72 }
  }
";

/// A piece of a line in one style.
#[derive(Debug, PartialEq, Eq)]
struct Run<'a> {
    /// In cells, from the line's beginning.
    at: usize,
    class: &'static str,
    text: &'a str,
}

/// The picture of these lines, which may hold the colours that our programs print.
pub fn svg(title: &str, lines: &[String]) -> String {
    let lines: Vec<Vec<Run<'_>>> = lines.iter().map(|line| runs(line)).collect();
    let end = |run: &Run<'_>| run.at + run.text.chars().count();
    let columns = lines.iter().flatten().map(end).max().unwrap_or(0);
    let width = (columns as f64 * CELL + 2.0 * MARGIN).ceil();
    let height = TITLE + lines.len() as f64 * LINE + 1.5 * MARGIN;
    let mut svg = format!(
        "<svg xmlns=\"http://www.w3.org/2000/svg\" width=\"{width}\" height=\"{height}\" \
         viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"{title}\">\n\
         <style>{STYLE}</style>\n\
         <rect class=\"window\" x=\".5\" y=\".5\" width=\"{}\" height=\"{}\" rx=\"10\"/>\n\
         <path class=\"bar\" d=\"M1 {TITLE}V10.5a9.5 9.5 0 0 1 9.5-9.5H{}\
         a9.5 9.5 0 0 1 9.5 9.5V{TITLE}z\"/>\n\
         <path class=\"rule\" d=\"M1 {TITLE}.5H{}\"/>\n",
        width - 1.0,
        height - 1.0,
        width - 10.5,
        width - 1.0,
    );
    for (x, color) in [(20, "#ff5f57"), (40, "#febc2e"), (60, "#28c840")] {
        let _ = writeln!(
            svg,
            "<circle cx=\"{x}\" cy=\"18\" r=\"6\" fill=\"{color}\"/>"
        );
    }
    let _ = writeln!(
        svg,
        "<text class=\"title\" x=\"{}\" y=\"23\">{}</text>",
        width / 2.0,
        escaped(title)
    );
    for (number, runs) in lines.iter().enumerate() {
        let y = TITLE + MARGIN + number as f64 * LINE + 8.0;
        for run in runs {
            let x = MARGIN + run.at as f64 * CELL;
            // The length keeps the cells where they are in a font whose letters are wider or
            // narrower.
            let length = run.text.chars().count() as f64 * CELL;
            let class = match run.class {
                "" => String::new(),
                class => format!(" class=\"{class}\""),
            };
            let text = escaped(run.text);
            let _ = writeln!(
                svg,
                "<text{class} x=\"{x:.1}\" y=\"{y}\" textLength=\"{length:.1}\">{text}</text>"
            );
        }
    }
    svg.push_str("</svg>\n");
    svg
}

/// The pieces of a line that are not blank.
fn runs(line: &str) -> Vec<Run<'_>> {
    let (mut runs, mut at, mut class) = (Vec::new(), 0, "");
    for (number, part) in line.split("\x1b[").enumerate() {
        let text = match (number, part.split_once('m')) {
            (0, _) => part,
            (_, Some((code, text))) => {
                class = class_of(code);
                text
            }
            (_, None) => panic!("not a colour: {part:?}"),
        };
        // Columns are placed one by one: a viewer may take several spaces for one.
        let mut column = at;
        for words in text.split("  ") {
            let shown = words.trim_start();
            if !shown.is_empty() {
                runs.push(Run {
                    at: column + words.len() - shown.len(),
                    class,
                    text: shown.trim_end(),
                });
            }
            column += words.chars().count() + 2;
        }
        at += text.chars().count();
    }
    runs
}

/// The class for a code of `console::Palette`.
fn class_of(code: &str) -> &'static str {
    match code {
        "0" => "",
        "1" => "strong",
        "2" => "dim",
        "31" => "bad",
        "32" => "good",
        "33" => "busy",
        other => panic!("unknown colour {other}"),
    }
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
}

#[test]
fn a_character_stands_in_its_cell() {
    let run = |at, class, text| Run { at, class, text };
    assert_eq!(
        runs("\x1b[2m  1.5s  \x1b[0m\x1b[32msales ✓\x1b[0m  a b   c "),
        [
            run(2, "dim", "1.5s"),
            run(8, "good", "sales ✓"),
            run(17, "", "a b"),
            run(23, "", "c")
        ]
    );
    assert_eq!(runs(""), []);
    let svg = svg("a title", &["<a> & \x1b[31mb\x1b[0m".to_owned()]);
    assert!(svg.contains(">&lt;a&gt; &amp;</text>"), "{svg}");
    assert!(svg.contains("class=\"bad\" x=\"72.4\""), "{svg}");
}
