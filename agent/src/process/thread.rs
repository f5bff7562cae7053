//! The one thread of the data path, with a runtime of its own.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// The thread of the data path and its runtime.
pub struct DataThread {
    /// Spawns onto it.
    pub handle: Handle,
    stop: Option<oneshot::Sender<()>>,
    thread: Option<std::thread::JoinHandle<()>>,
}

impl DataThread {
    /// Starts it.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start() -> std::io::Result<DataThread> {
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new()
            .name("phoenix-worker".to_owned())
            .spawn(move || {
                let _ended = runtime.block_on(stopped);
            })?;
        Ok(DataThread {
            handle,
            stop: Some(stop),
            thread: Some(thread),
        })
    }

    /// Ends it with whatever still runs on it.
    pub fn stop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take()
            && thread.join().is_err()
        {
            tracing::error!("the worker's thread panicked");
        }
    }
}
