//! Usage of a process, from /proc.

/// CPU time of all threads that live, in seconds (`schedstat`, in nanoseconds).
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn cpu_seconds(pid: u32) -> f64 {
    let tasks = std::fs::read_dir(format!("/proc/{pid}/task")).unwrap();
    let nanoseconds: f64 = tasks
        .filter_map(|task| {
            let path = task.unwrap().path().join("schedstat");
            let text = std::fs::read_to_string(path).ok()?;
            text.split(' ').next()?.parse::<f64>().ok()
        })
        .sum();
    nanoseconds / 1e9
}

/// CPU time of the process that was spent outside the kernel and in it, in ticks of 10 ms.
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn cpu_ticks(pid: u32) -> [f64; 2] {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap();
    // The name of the program, in parentheses, may have spaces.
    let (_, fields) = stat.rsplit_once(") ").unwrap();
    let fields: Vec<_> = fields.split(' ').collect();
    [11, 12].map(|field| fields[field].parse().unwrap())
}

/// Resident memory, in bytes.
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn resident_bytes(pid: u32) -> f64 {
    bytes(pid, "VmRSS:")
}

/// Resident memory of its own, in bytes: without pages of files, such as the code of the program, which the first streams bring in and all
/// use.
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn own_bytes(pid: u32) -> f64 {
    bytes(pid, "RssAnon:")
}

/// The most resident memory that it ever had, in bytes.
#[allow(dead_code, reason = "not every bench asks")]
pub(crate) fn peak_bytes(pid: u32) -> f64 {
    bytes(pid, "VmHWM:")
}

fn bytes(pid: u32, field: &str) -> f64 {
    let status = std::fs::read_to_string(format!("/proc/{pid}/status")).unwrap();
    let line = status.lines().find(|l| l.starts_with(field)).unwrap();
    let kibibytes: f64 = line.split_whitespace().nth(1).unwrap().parse().unwrap();
    kibibytes * 1024.0
}
