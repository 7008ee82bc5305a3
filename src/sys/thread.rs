use rustix::thread::CpuSet;

/// The calling thread's number, as the kernel names it under `/proc/self/task`.
pub fn thread_id() -> u32 {
    // SAFETY: takes nothing and always succeeds.
    let id = unsafe { libc::gettid() };
    id.unsigned_abs()
}

/// The cores that the calling thread may run on, in their order; empty where the kernel
/// does not tell, as with more than 1,024.
pub fn allowed_cores() -> Vec<usize> {
    let Ok(set) = rustix::thread::sched_getaffinity(None) else {
        return Vec::new();
    };
    (0..CpuSet::MAX_CPU)
        .filter(|core| set.is_set(*core))
        .collect()
}
