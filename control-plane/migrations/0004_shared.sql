-- What both arms of an agent use together in a window.
ALTER TABLE windows ADD COLUMN shared_cpu_seconds REAL;
ALTER TABLE windows ADD COLUMN shared_memory_bytes INTEGER;
