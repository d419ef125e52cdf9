//! What the kernel knows about this process, from `/proc`.

use std::fs;

/// The kernel's unit of CPU time as programs see it: 100 a second on every Linux there is, except
/// on two architectures that nobody builds this for.
const TICKS_PER_SECOND: f64 = 100.0;

/// This process, as far as `/proc` tells.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub struct Process {
    /// Bytes of memory that are really there.
    pub resident_memory_bytes: Option<u64>,
    /// Seconds of CPU used so far, by it and for it.
    pub cpu_seconds: Option<f64>,
    /// Open files and connections.
    pub open_fds: Option<u64>,
    /// When it began, in seconds of the epoch.
    pub started_at_seconds: Option<f64>,
}

impl Process {
    /// Reads everything anew. What cannot be read is left out.
    pub fn read() -> Self {
        let text = |path| fs::read_to_string(path).unwrap_or_default();
        let stat = text("/proc/self/stat");
        // One of them is open only for being counted.
        let n_fds = fs::read_dir("/proc/self/fd").ok().map(|fds| fds.count().saturating_sub(1));
        Self {
            resident_memory_bytes: resident(&text("/proc/self/status")),
            cpu_seconds: cpu(&stat),
            open_fds: n_fds.and_then(|n| u64::try_from(n).ok()),
            started_at_seconds: started(&stat, &text("/proc/stat")),
        }
    }
}

/// `VmRSS:    1234 kB` in `/proc/self/status`.
fn resident(status: &str) -> Option<u64> {
    let line = status.lines().find_map(|line| line.strip_prefix("VmRSS:"))?;
    let kibibytes: u64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kibibytes * 1024)
}

/// Field `n` of `/proc/self/stat`, counted from one as in proc(5). The second is the program's
/// name in brackets, which may hold anything, so counting begins after the last bracket.
fn field(stat: &str, n: usize) -> Option<f64> {
    let (_, rest) = stat.rsplit_once(')')?;
    rest.split_whitespace().nth(n.checked_sub(3)?)?.parse().ok()
}

fn cpu(stat: &str) -> Option<f64> {
    Some((field(stat, 14)? + field(stat, 15)?) / TICKS_PER_SECOND)
}

/// The machine's start from `/proc/stat`, and the process's start after it.
fn started(stat: &str, system: &str) -> Option<f64> {
    let booted: f64 = system.lines().find_map(|line| line.strip_prefix("btime "))?.parse().ok()?;
    Some(booted + field(stat, 22)? / TICKS_PER_SECOND)
}

#[cfg(test)]
mod tests {
    use super::*;

    const STAT: &str = "42 (a (b) c) S 1 42 42 0 -1 4194560 900 0 3 0 150 50 0 0 20 0 4 0 \
                        12345 1000000 2000 18446744073709551615";

    #[test]
    fn the_fields_are_those_of_the_manual() {
        assert_eq!(cpu(STAT), Some(2.0));
        assert_eq!(started(STAT, "cpu 1 2\nbtime 1800000000\n"), Some(1_800_000_123.45));
        assert_eq!(resident("Name:\tlapsed\nVmRSS:\t   12345 kB\n"), Some(12_345 * 1024));
    }

    #[test]
    fn what_is_not_there_is_left_out() {
        assert_eq!((cpu(""), started(STAT, ""), resident("VmRSS: lots")), (None, None, None));
    }

    #[test]
    fn this_process_is_read() {
        let process = Process::read();
        assert!(process.resident_memory_bytes.is_some_and(|bytes| bytes > 1_000_000));
        assert!(process.open_fds.is_some_and(|n| n > 2));
        assert!(process.cpu_seconds.is_some() && process.started_at_seconds.is_some());
    }
}
