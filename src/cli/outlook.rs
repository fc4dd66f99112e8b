//! What a run would do, shown: one answer for every verb's `--dry-run`.

use serde::Serialize;

use super::Session;
use super::table::table;
use crate::pipeline::Step;

/// Shows the steps; `wslconfig` is what WSL makes of that file as it is, where it matters.
pub(super) fn show(session: &Session<'_>, steps: &[Step], wslconfig: Option<&str>) {
    #[derive(Serialize)]
    struct DryRun<'a> {
        steps: &'a [Step],
        #[serde(skip_serializing_if = "Option::is_none")]
        wslconfig: Option<&'a str>,
    }
    let state = |step: &Step| if step.needed { "to do" } else { "done" };
    let rows = steps.iter().flat_map(|step| {
        step.what.iter().enumerate().map(move |(line, what)| {
            let first = |word: &str| if line == 0 { word } else { "" }.to_owned();
            vec![first(step.stage), first(state(step)), what.clone()]
        })
    });
    let text = [
        wslconfig.unwrap_or_default(),
        &table(&rows.collect::<Vec<_>>()),
        "nothing was done: --dry-run\n",
    ];
    let answer = DryRun { steps, wslconfig };
    session.output.answer("dry-run", &answer, &text.concat());
}
