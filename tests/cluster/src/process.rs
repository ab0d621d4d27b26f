//! Starting programs: short ones whose output is wanted, and components that live as long as the
//! cluster and whose early death must be noticed.

use std::fs::{self, OpenOptions};
use std::path::{Path, PathBuf};
use std::process::Stdio;
use std::sync::Mutex;
use std::time::{Duration, Instant};

use anyhow::{Context, Result, bail};
use tokio::io::AsyncWriteExt;
use tokio::process::{Child, Command};

/// How often a condition is looked at again while waiting for it.
const POLL: Duration = Duration::from_millis(100);

/// Lines of a failed component's log that are shown.
const TAIL_LINES: usize = 20;

/// Runs `command` to its end, with `input` on its stdin, and hands back what it wrote to stdout.
pub(crate) async fn capture(mut command: Command, input: Option<&str>) -> Result<String> {
    let shown = shown(&command);
    command
        .stdin(input.map_or_else(Stdio::null, |_| Stdio::piped()))
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .kill_on_drop(true);
    let mut child = command
        .spawn()
        .with_context(|| format!("starting `{shown}`"))?;
    if let (Some(text), Some(mut stdin)) = (input, child.stdin.take()) {
        stdin
            .write_all(text.as_bytes())
            .await
            .with_context(|| format!("writing to `{shown}`"))?;
    }
    let output = child
        .wait_with_output()
        .await
        .with_context(|| format!("waiting for `{shown}`"))?;
    if !output.status.success() {
        bail!(
            "`{shown}` ended with {}: {}",
            output.status,
            String::from_utf8_lossy(&output.stderr).trim()
        );
    }
    Ok(String::from_utf8_lossy(&output.stdout).into_owned())
}

/// The programs that make up the cluster, each with its log.
#[derive(Debug)]
pub(crate) struct Components {
    logs: PathBuf,
    kept: PathBuf,
    running: Mutex<Vec<Component>>,
}

#[derive(Debug)]
struct Component {
    name: String,
    log: PathBuf,
    child: Child,
}

impl Components {
    /// No component yet; their logs go to `logs`, and lie in `kept` after a failure.
    pub(crate) fn new(logs: PathBuf, kept: PathBuf) -> Self {
        Self {
            logs,
            kept,
            running: Mutex::new(Vec::new()),
        }
    }

    /// Starts `command` with both outputs at the end of `<name>.log`. It is in a process group of its own, so
    /// that Ctrl-C reaches the command a user runs and us, and not the cluster under it.
    pub(crate) fn start(&self, name: &str, mut command: Command) -> Result<()> {
        let log = self.logs.join(format!("{name}.log"));
        let file = OpenOptions::new()
            .create(true)
            .append(true)
            .open(&log)
            .with_context(|| format!("opening {}", log.display()))?;
        let child = command
            .stdin(Stdio::null())
            .stdout(file.try_clone().context("sharing a log file")?)
            .stderr(file)
            .process_group(0)
            .spawn()
            .with_context(|| format!("starting {name}: `{}`", shown(&command)))?;
        self.lock().push(Component {
            name: name.to_owned(),
            log,
            child,
        });
        Ok(())
    }

    /// Fails with the end of its log if a component has ended; none of them should.
    pub(crate) fn check(&self) -> Result<()> {
        for component in self.lock().iter_mut() {
            if let Some(status) = component.child.try_wait().context("asking for a status")? {
                bail!(
                    "{} ended early with {status}; the end of its log:\n{}\nwhole log: {}",
                    component.name,
                    tail(&component.log),
                    self.kept
                        .join(component.log.file_name().unwrap_or_default())
                        .display()
                );
            }
        }
        Ok(())
    }

    /// Waits until `condition` holds, looking after the components meanwhile.
    pub(crate) async fn until(
        &self,
        what: &str,
        limit: Duration,
        condition: impl AsyncFn() -> Result<()>,
    ) -> Result<()> {
        let since = Instant::now();
        loop {
            self.check()?;
            let Err(error) = condition().await else {
                return Ok(());
            };
            if since.elapsed() > limit {
                return Err(error.context(format!(
                    "{what}: not within {} s; logs: {}",
                    limit.as_secs(),
                    self.kept.display()
                )));
            }
            tokio::time::sleep(POLL).await;
        }
    }

    /// Ends the components; needed only where no namespace ends with them.
    pub(crate) async fn stop(&self) {
        self.kill(|_| true).await;
    }

    /// Kills the components of these names, all at once, and forgets them.
    pub(crate) async fn kill(&self, which: impl Fn(&str) -> bool) {
        let all = std::mem::take(&mut *self.lock());
        let (mut killed, kept): (Vec<_>, Vec<_>) = all
            .into_iter()
            .partition(|component| which(&component.name));
        self.lock().extend(kept);
        for component in &mut killed {
            let _ = component.child.start_kill();
        }
        for component in &mut killed {
            let _ = component.child.wait().await;
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, Vec<Component>> {
        self.running
            .lock()
            .unwrap_or_else(std::sync::PoisonError::into_inner)
    }
}

/// The last lines of a log.
pub(crate) fn tail(log: &Path) -> String {
    let bytes = fs::read(log).unwrap_or_default();
    let text = String::from_utf8_lossy(&bytes);
    let lines: Vec<&str> = text.lines().collect();
    let skipped = lines.len().saturating_sub(TAIL_LINES);
    lines
        .iter()
        .skip(skipped)
        .map(|line| format!("    {line}"))
        .collect::<Vec<_>>()
        .join("\n")
}

fn shown(command: &Command) -> String {
    let command = command.as_std();
    std::iter::once(command.get_program())
        .chain(command.get_args())
        .map(|word| word.to_string_lossy())
        .collect::<Vec<_>>()
        .join(" ")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tail_shows_the_last_lines_only() {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("x.log");
        let lines: Vec<String> = (0..50).map(|n| format!("line {n}")).collect();
        fs::write(&log, lines.join("\n")).unwrap();
        let shown = tail(&log);
        assert_eq!(shown.lines().count(), TAIL_LINES);
        assert!(shown.starts_with("    line 30"));
        assert!(shown.ends_with("line 49"));
    }

    #[tokio::test]
    async fn a_killed_component_is_no_early_end_and_others_live_on() {
        let folder = tempfile::tempdir().unwrap();
        let components = Components::new(folder.path().to_path_buf(), "/kept".into());
        for name in ["kubelet-1", "dnsmasq"] {
            let mut command = Command::new("sleep");
            command.arg("1000");
            components.start(name, command).unwrap();
        }
        components.kill(|name| name == "kubelet-1").await;
        components.check().unwrap();
        assert_eq!(components.lock().len(), 1);
        components.stop().await;
    }

    #[tokio::test]
    async fn a_component_that_ends_early_is_reported_with_its_log() {
        let folder = tempfile::tempdir().unwrap();
        let components = Components::new(folder.path().to_path_buf(), "/kept".into());
        let mut command = Command::new("sh");
        command.args(["-c", "echo no such flag; exit 3"]);
        components.start("broken", command).unwrap();
        let error = components
            .until("never", Duration::from_secs(20), async || bail!("not yet"))
            .await
            .unwrap_err();
        let text = error.to_string();
        assert!(text.contains("broken ended early"), "{text}");
        assert!(text.contains("no such flag"), "{text}");
        assert!(text.contains("/kept/broken.log"), "{text}");
    }
}
