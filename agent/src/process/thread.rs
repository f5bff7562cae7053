//! A thread of the data path, with a runtime of its own: one a worker.

use tokio::runtime::Handle;
use tokio::sync::oneshot;

/// A thread of the data path and its runtime.
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
    pub fn start(worker: usize) -> std::io::Result<DataThread> {
        let name = match worker {
            0 => "phoenix-worker".to_owned(),
            n => format!("phoenix-work-{n}"),
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()?;
        let handle = runtime.handle().clone();
        let (stop, stopped) = oneshot::channel::<()>();
        let thread = std::thread::Builder::new().name(name).spawn(move || {
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
