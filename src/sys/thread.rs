/// The calling thread's number, as the kernel names it under `/proc/self/task`.
pub fn thread_id() -> u32 {
    // SAFETY: takes nothing and always succeeds.
    let id = unsafe { libc::gettid() };
    id.unsigned_abs()
}
