//! The whole system on this machine, in one go: start, pair, make keys, sign, verify, tear down. `deploy/quickstart` builds
//! everything and calls this.

mod environment;
mod lock;
mod screen;
mod signals;
mod steps;

use anyhow::{Context, Result};
use clap::Parser;
use countersign_stack::processes::end_listed;
use countersign_stack::{Material, Options, Stack, sockets};
use screen::{Colour, Screen};
use signals::Signals;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

/// Runs a workspace, three co-signers and a callback handler, pairs them, makes a key, and signs with it.
#[derive(Parser)]
#[command(name = "deploy/quickstart", version, args_override_self = true)]
struct Arguments {
    /// Leave everything running; FOLDER/env says how to reach it
    #[arg(long, conflicts_with = "down")]
    keep: bool,
    /// End what --keep left running, and remove its files
    #[arg(long)]
    down: bool,
    /// Take the committed test primes instead of making own ones: everybody knows them, so do not use the keys
    #[arg(long, conflicts_with = "down")]
    fast: bool,
    /// Where everything of it is; its content is removed at the start
    #[arg(long, value_name = "FOLDER", default_value = "target/quickstart")]
    folder: PathBuf,
}

/// A file that says: this folder may be removed.
const MARK: &str = "countersign-quickstart";

#[tokio::main]
async fn main() -> ExitCode {
    let arguments = Arguments::parse();
    let mut screen = Screen::new();
    match run(&mut screen, &arguments).await {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            screen.line("");
            screen.warn(&format!("quickstart: FAILED: {error:#}"));
            if let Ok(folder) = absolute(&arguments.folder)
                && folder.join(MARK).exists()
                && !error.is::<lock::InUse>()
            {
                let down = environment::down(&folder);
                screen.line(&format!("Logs are in {}/*/*.log. `{down}` removes everything.", folder.display()));
            }
            ExitCode::FAILURE
        }
    }
}

/// A folder as one whole path, whatever the working directory is later, and without a slash at its end.
fn absolute(folder: &Path) -> Result<PathBuf> {
    let absolute = std::path::absolute(folder).context("expected the name of a --folder")?;
    Ok(absolute.components().collect())
}

async fn run(screen: &mut Screen, arguments: &Arguments) -> Result<()> {
    let folder = absolute(&arguments.folder)?;
    let _lock = lock::take(&folder)?;
    if arguments.down { down(screen, &folder).await } else { up(screen, arguments, &folder).await }
}

async fn down(screen: &Screen, folder: &Path) -> Result<()> {
    let ended = end_listed(&folder.join("processes.json")).await?;
    clear(folder)?;
    screen.line(&format!("quickstart: ended {ended} processes and removed {}", folder.display()));
    Ok(())
}

/// Removes the folder of an earlier run, and nothing else.
fn clear(folder: &Path) -> Result<()> {
    if !folder.exists() {
        return Ok(());
    }
    let is_ours = folder.join(MARK).exists();
    let is_empty = fs::read_dir(folder).map(|mut entries| entries.next().is_none()).unwrap_or(false);
    anyhow::ensure!(is_ours || is_empty, "{} holds something else: name another --folder", folder.display());
    sockets::remove_left(folder)?;
    fs::remove_dir_all(folder).with_context(|| format!("cannot remove {}", folder.display()))
}

async fn up(screen: &mut Screen, arguments: &Arguments, folder: &Path) -> Result<()> {
    let left = end_listed(&folder.join("processes.json")).await?;
    if left > 0 {
        screen.line(&format!("Ended {left} processes of an earlier run."));
    }
    clear(folder)?;
    fs::create_dir_all(folder).with_context(|| format!("cannot make {}", folder.display()))?;
    fs::write(folder.join(MARK), "made by deploy/quickstart, which may remove this folder\n")?;
    warn_of_development(screen, arguments.fast);

    let mut signals = Signals::listen()?;
    let step = screen.begin("Starting a workspace, three co-signers, a callback handler");
    let material = if arguments.fast { Material::TestPrimes } else { Material::Own };
    let options = Options { material, outlives_terminal: true, ..Options::default() };
    let mut stack = tokio::select! {
        stack = Stack::start(folder, &options) => stack?,
        why = signals.next() => return Err(why),
    };
    let result = tokio::select! {
        result = steps::run(screen, &mut stack, step) => result,
        why = signals.next() => Err(why),
    };
    let shown = match result {
        Ok(shown) => shown,
        Err(error) => {
            // A process that died explains more than what it caused.
            let died = stack.processes.check().err();
            stack.stop().await?;
            return Err(died.map_or(error, anyhow::Error::from));
        }
    };
    if arguments.keep {
        let file = environment::write(folder, &stack, &shown)?;
        stack.keep();
        verdict(screen, &shown);
        environment::explain(screen, folder, &file);
        return Ok(());
    }
    let step = screen.begin("Tearing down");
    let forced = stack.stop().await?;
    anyhow::ensure!(forced.is_empty(), "{} did not stop when asked", forced.join(", "));
    screen.done(step, "");
    clear(folder)?;
    verdict(screen, &shown);
    Ok(())
}

fn warn_of_development(screen: &Screen, fast: bool) {
    screen.warn("Development set-up: the enclaves are plain processes. It shows how things work and protects no key.");
    if fast {
        screen.warn("--fast: COMMITTED TEST PRIMES. Everybody knows them: keys made with them are nobody's secret.");
    }
    screen.line("");
}

fn verdict(screen: &Screen, shown: &steps::Shown) {
    let (times, total) = screen.times();
    screen.line("");
    screen.line(&screen.paint(Colour::Bold, "Where the time went"));
    for (title, took) in times {
        let title = title.split(':').next().unwrap_or_default();
        screen.line(&format!("  {:>7.1} s  {title}", took.as_secs_f64()));
    }
    screen.line("");
    screen.value("address", &shown.address);
    screen.value("transaction", &shown.raw_transaction);
    screen.line("");
    let verdict = format!(
        "quickstart: PASSED in {:.1} s: 2 signatures verified, 1 rejection, 1 refusal, 1 key certificate",
        total.as_secs_f64()
    );
    screen.line(&screen.paint(Colour::Green, &verdict));
}

#[cfg(test)]
mod tests {
    use super::*;
    use clap::CommandFactory;

    #[test]
    fn the_script_s_help_which_builds_nothing_names_every_flag() {
        let script = include_str!("../../../../quickstart");
        let help: String = script.lines().skip(1).take_while(|line| line.starts_with('#')).collect();
        for flag in Arguments::command().get_arguments().filter_map(clap::Arg::get_long) {
            assert!(flag == "version" || help.contains(&format!("--{flag}")), "--{flag}");
        }
    }

    #[test]
    fn the_script_names_a_folder_and_whoever_calls_it_may_name_another() {
        let parsed = Arguments::try_parse_from(["x", "--folder", "a", "--fast", "--folder", "b"]).unwrap();
        assert_eq!((parsed.folder, parsed.fast), (PathBuf::from("b"), true));
    }

    #[test]
    fn only_a_folder_of_its_own_is_removed() {
        let parent = tempfile::tempdir().unwrap();
        let folder = parent.path().join("f");
        fs::create_dir(&folder).unwrap();
        fs::write(folder.join("precious"), "").unwrap();
        assert!(clear(&folder).is_err() && folder.join("precious").exists());
        fs::write(folder.join(MARK), "").unwrap();
        clear(&folder).unwrap();
        assert!(!folder.exists());
        clear(&folder).unwrap();
    }
}
