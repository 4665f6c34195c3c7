//! What is printed when something panics: where, and never with what message, which may hold anything (threat T48).

/// Replaces the standard panic report.
pub fn install() {
    std::panic::set_hook(Box::new(|info| {
        let thread = std::thread::current();
        let thread = thread.name().unwrap_or("unnamed");
        match info.location() {
            Some(at) => tracing::error!(thread, file = at.file(), line = at.line(), "panic"),
            None => tracing::error!(thread, "panic"),
        }
    }));
}
