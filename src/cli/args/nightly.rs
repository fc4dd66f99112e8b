//! What a night takes.

use std::path::PathBuf;

use clap::Args;

use super::{GuestArgs, KernelArgs};
use crate::settings::{NightlyOverrides, Overrides};
use crate::source::{Series, Tag};

/// `wslk nightly`
#[derive(Debug, Args)]
pub struct NightlyArgs {
    /// Judge this tag, judged already or not; may be repeated.
    #[arg(long = "tag", value_name = "TAG")]
    pub tags: Vec<Tag>,
    /// Print what there is to do as the matrix of a CI engine, a line of JSON, and do nothing.
    #[arg(long)]
    pub plan: bool,
    /// Judge nothing; take over what nights on other machines have left in these folders.
    #[arg(long, value_name = "DIR", num_args = 1.., conflicts_with_all = ["plan", "tags"])]
    pub collect: Vec<PathBuf>,
    /// Write what was done into this file, as Markdown.
    #[arg(long, value_name = "FILE")]
    pub summary: Option<PathBuf>,
    /// What a night does.
    #[command(flatten)]
    pub night: NightArgs,
    /// Which kernel, and how it is made.
    #[command(flatten)]
    pub kernel: KernelArgs,
    /// How to boot.
    #[command(flatten)]
    pub guest: GuestArgs,
}

/// What a night does.
#[derive(Debug, Args)]
pub struct NightArgs {
    /// Only this series, such as 6.6; may be repeated.
    #[arg(long, value_name = "A.B")]
    pub series: Vec<Series>,
    /// Only this tag and later ones.
    #[arg(long, value_name = "TAG")]
    pub since: Option<Tag>,
    /// At most so many tags, the newest; 0 is no limit [default: 10].
    #[arg(long, value_name = "N")]
    pub max: Option<u32>,
    /// What each kernel is compared with: stock, a build, or none [default: stock].
    #[arg(long, value_name = "BUILD")]
    pub control: Option<String>,
    /// Where kernels are published, a folder for any web server [default: site in the home].
    #[arg(long, value_name = "DIR")]
    pub site: Option<PathBuf>,
    /// The minisign key that signs what is published.
    #[arg(long, value_name = "FILE")]
    pub sign_key: Option<PathBuf>,
    /// A URL that gets what the night did, as JSON, by POST.
    #[arg(long, value_name = "URL")]
    pub webhook: Option<String>,
}

impl NightArgs {
    pub(in crate::cli) fn add_to(self, overrides: &mut Overrides) {
        let series: Vec<String> = self.series.iter().map(ToString::to_string).collect();
        overrides.nightly = NightlyOverrides {
            series: (!series.is_empty()).then_some(series),
            since: self.since.map(|tag| tag.to_string()),
            max: self.max,
            control: self.control,
            site: self.site,
            sign_key: self.sign_key,
            webhook: self.webhook,
        };
    }
}
