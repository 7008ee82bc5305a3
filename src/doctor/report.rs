//! A diagnosis for people, 80 columns wide, and for programs.

use std::io::{self, Write};

use anstyle::{AnsiColor, Style};
use serde::Serialize;

use super::figures::{counted, grouped};
use super::finding::{Affects, Finding, Fix, Group, Severity};
use super::{Ceiling, Demand, Diagnosis};

/// The terminal that everything fits.
const COLUMNS: usize = 80;

/// Raised with every change that a reader of the JSON could stumble over: a
/// field that goes or means something else. New fields and findings are none.
const SCHEMA: u32 = 1;

const BOLD: Style = Style::new().bold();
const DIM: Style = Style::new().dimmed();

/// How much the report for people shows.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Detail {
    /// Only what is not in order.
    Wrong,
    /// Every finding.
    All,
}

/// Writes one JSON object; `docs/doctor.md` describes it.
///
/// # Errors
/// What `output` refuses.
pub fn write_json(output: &mut impl Write, diagnosis: &Diagnosis) -> io::Result<()> {
    #[derive(Serialize)]
    struct Document<'a> {
        schema: u32,
        version: &'static str,
        severity: Severity,
        demand: Demand,
        findings: Vec<Explained<'a>>,
        ceiling: &'a Ceiling,
    }
    #[derive(Serialize)]
    struct Explained<'a> {
        #[serde(flatten)]
        finding: &'a Finding,
        explained: String,
    }
    let findings = diagnosis.findings.iter().map(|finding| Explained {
        finding,
        explained: format!("tuning/README.md#{}", finding.id),
    });
    let document = Document {
        schema: SCHEMA,
        version: env!("CARGO_PKG_VERSION"),
        severity: diagnosis.severity(),
        demand: diagnosis.demand,
        findings: findings.collect(),
        ceiling: &diagnosis.ceiling,
    };
    serde_json::to_writer_pretty(&mut *output, &document)?;
    writeln!(output)
}

/// Writes the report for people, styled for a terminal.
///
/// # Errors
/// What `output` refuses.
pub fn write_text(
    output: &mut impl Write,
    diagnosis: &Diagnosis,
    detail: Detail,
) -> io::Result<()> {
    let demand = &diagnosis.demand;
    let style = diagnosis.severity().style();
    let answer = match diagnosis.severity() {
        Severity::Ok | Severity::Note => "Yes.",
        Severity::Warning => "Yes, with warnings.",
        Severity::Failure => "No.",
    };
    writeln!(
        output,
        "{BOLD}Can this host carry {} on {}?{BOLD:#} {style}{answer}{style:#}",
        counted(demand.connections, "connection"),
        counted(demand.shards, "shard")
    )?;
    let mut group = None;
    for finding in &diagnosis.findings {
        if finding.severity == Severity::Ok && detail == Detail::Wrong {
            continue;
        }
        if group != Some(finding.group) {
            group = Some(finding.group);
            writeln!(output, "\n{BOLD}{}{BOLD:#}", finding.group.title())?;
        }
        write_finding(output, finding)?;
    }
    write_ceiling(output, diagnosis)?;
    write_summary(output, diagnosis, detail)
}

fn write_finding(output: &mut impl Write, finding: &Finding) -> io::Result<()> {
    let (severity, style) = (finding.severity, finding.severity.style());
    write!(output, "  {style}{:<8}{style:#} ", severity.name())?;
    if severity == Severity::Ok {
        return writeln!(output, "{:<18} {}", finding.id, finding.found);
    }
    writeln!(output, "{BOLD}{}{BOLD:#}", finding.id)?;
    paragraph(output, "found   ", &finding.found)?;
    paragraph(output, "wanted  ", &finding.wanted)?;
    let limits = format!("{}: {}", finding.affects.name(), finding.limits);
    paragraph(output, "limits  ", &limits)?;
    write_fixes(output, &finding.fixes)
}

/// One indented paragraph, its first line led by its name.
fn paragraph(output: &mut impl Write, name: &str, text: &str) -> io::Result<()> {
    let indent = " ".repeat(11);
    let first = format!("{indent}{name}");
    let next = " ".repeat(first.len());
    let options = textwrap::Options::new(COLUMNS)
        .initial_indent(&first)
        .subsequent_indent(&next)
        .break_words(false);
    for line in textwrap::wrap(text, options) {
        writeln!(output, "{line}")?;
    }
    Ok(())
}

/// Lines to be pasted as they are, under the file that they belong to.
fn write_fixes(output: &mut impl Write, fixes: &[Fix]) -> io::Result<()> {
    let mut place = None;
    for fix in fixes {
        if place != Some(fix.place) {
            let name = if place.is_none() { "mend" } else { "or" };
            place = Some(fix.place);
            writeln!(
                output,
                "{:11}{name:<8}{DIM}# {}{DIM:#}",
                "",
                fix.place.title()
            )?;
        }
        writeln!(output, "{:19}{}", "", fix.line)?;
    }
    Ok(())
}

fn write_ceiling(output: &mut impl Write, diagnosis: &Diagnosis) -> io::Result<()> {
    let Ceiling {
        connections,
        bounds,
    } = &diagnosis.ceiling;
    writeln!(
        output,
        "\n{BOLD}Predicted ceiling: {} connections{BOLD:#}",
        grouped(*connections)
    )?;
    for bound in bounds {
        writeln!(
            output,
            "  {:<18}{:>14}  {DIM}{}{DIM:#}",
            bound.name,
            grouped(bound.connections),
            bound.how
        )?;
    }
    let mut text = String::new();
    if let Some(first) = bounds.first() {
        text = format!("{} binds first", first.name);
        if let Some(next) = bounds.get(1) {
            text += &format!(
                "; were it raised, {} would be next, at {}",
                next.name,
                grouped(next.connections)
            );
        }
        text += ". ";
    }
    text += "A prediction: the least of these bounds, for connections that are mostly idle. \
             What they send and receive takes core time and buffers on top; \
             docs/performance.md has the measured costs.";
    for line in textwrap::wrap(&text, COLUMNS - 2) {
        writeln!(output, "  {line}")?;
    }
    Ok(())
}

fn write_summary(output: &mut impl Write, diagnosis: &Diagnosis, detail: Detail) -> io::Result<()> {
    let count = |severity| diagnosis.count(severity);
    let hint = match detail {
        Detail::Wrong => " (--all shows them)",
        Detail::All => "",
    };
    writeln!(
        output,
        "\nfailures {}, warnings {}, notes {}, ok {}{hint}\n\
         tuning/README.md explains each under its name, and how to go back.",
        count(Severity::Failure),
        count(Severity::Warning),
        count(Severity::Note),
        count(Severity::Ok),
    )
}

impl Severity {
    fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Failure => "FAILURE",
        }
    }

    fn style(self) -> Style {
        match self {
            Self::Ok => AnsiColor::Green.on_default(),
            Self::Note => AnsiColor::Cyan.on_default(),
            Self::Warning => AnsiColor::Yellow.on_default().bold(),
            Self::Failure => AnsiColor::Red.on_default().bold(),
        }
    }
}

impl Affects {
    fn name(self) -> &'static str {
        match self {
            Self::Start => "start",
            Self::Connections => "connections",
            Self::Deliveries => "deliveries",
            Self::Latency => "latency",
        }
    }
}

impl Group {
    fn title(self) -> &'static str {
        match self {
            Self::Kernel => "Kernel",
            Self::Descriptors => "Descriptors",
            Self::Network => "Network",
            Self::Memory => "Memory",
            Self::Cores => "Cores",
            Self::Card => "Network card",
            Self::Cgroup => "Control group",
        }
    }
}
