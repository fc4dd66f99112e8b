//! `wslk doctor`: asks the pipeline and shows the screen.

use super::Session;
use super::args::DoctorArgs;
use crate::exit::Exit;
use crate::pipeline::running::{self, Question};

pub(super) fn doctor(session: &Session<'_>, args: DoctorArgs) -> Exit {
    let question = Question {
        windows_home: args.windows_home,
        deep: args.deep,
    };
    let diagnosis = running::diagnose(&session.context, question);
    session
        .output
        .answer("doctor", &diagnosis, &diagnosis.text());
    match diagnosis.failed().is_empty() {
        true => Exit::Done,
        false => Exit::CheckFailed,
    }
}
