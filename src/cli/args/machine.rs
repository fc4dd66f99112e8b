//! What the verbs take that look at this machine.

use std::path::PathBuf;

use clap::builder::PossibleValuesParser;
use clap::{Args, ValueEnum};

use crate::probe;

/// `wslk doctor`
#[derive(Debug, Args)]
pub struct DoctorArgs {
    /// Take the time for slow questions: whether KVM really works, what the graphics driver says.
    #[arg(long)]
    pub deep: bool,
    /// The Windows profile, which holds .wslconfig [default: the one of whoever runs WSL].
    #[arg(long, value_name = "DIR")]
    pub windows_home: Option<PathBuf>,
}

/// `wslk smoke`
#[derive(Debug, Args)]
pub struct SmokeArgs {
    /// Only this scenario; may be repeated.
    #[arg(long, value_name = "NAME")]
    pub only: Vec<String>,
    /// Dump and restore each scenario so many times.
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..))]
    pub cycles: Option<u32>,
    /// How to write the report [default: table; with --output by the file's name].
    #[arg(long, value_enum, value_name = "FORM")]
    pub format: Option<SmokeFormat>,
    /// Write the report into this file, and the table to standard output.
    #[arg(short, long, value_name = "FILE")]
    pub output: Option<PathBuf>,
}

/// The forms of a report.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub enum SmokeFormat {
    /// A table for people.
    Table,
    /// The document `wslk/smoke/1`.
    Json,
    /// JUnit XML, for continuous integration.
    Junit,
    /// TAP 14.
    Tap,
}

/// `wslk probe`
#[derive(Debug, Args)]
pub struct ProbeArgs {
    /// Probe only this; may be repeated.
    #[arg(long, value_name = "ROW", value_parser = PossibleValuesParser::new(probe::names()))]
    pub only: Vec<String>,
    /// Fail unless this works here; may be repeated.
    #[arg(long, value_name = "ROW", value_parser = PossibleValuesParser::new(probe::names()))]
    pub require: Vec<String>,
    /// Write the report as a page, and as JSON beside it.
    #[arg(long, value_name = "FILE")]
    pub report: Option<PathBuf>,
    /// Device memory of the process that is checkpointed, and the largest copy, in MiB.
    #[arg(long, value_name = "MIB")]
    pub device_memory: Option<u64>,
    /// Pin at most so much at once, in MiB [default: 60 % of what is available].
    #[arg(long, value_name = "MIB")]
    pub pin_limit: Option<u64>,
    /// Give up on a row after so many seconds [default: each row's own].
    #[arg(long, value_name = "SECONDS")]
    pub deadline: Option<u64>,
    /// Folder of libcuda.so.1 and libnvidia-ml.so.1 [default: WSL's, then the loader's].
    #[arg(long, value_name = "DIR")]
    pub cuda_dir: Option<PathBuf>,
    /// The Python that has vLLM.
    #[arg(long, value_name = "PROGRAM", default_value = "python3")]
    pub python: PathBuf,
}
