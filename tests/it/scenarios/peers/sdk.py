"""A real application: three kinds of instruments, the OpenTelemetry SDK's own exporters."""

import sys
import time

from opentelemetry.sdk.metrics import MeterProvider
from opentelemetry.sdk.metrics.export import PeriodicExportingMetricReader
from opentelemetry.sdk.resources import Resource

protocol, endpoint, seconds = sys.argv[1], sys.argv[2], float(sys.argv[3])
if protocol == "grpc":
    from grpc import Compression
    from opentelemetry.exporter.otlp.proto.grpc.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(endpoint=endpoint, insecure=True, compression=Compression.Gzip)
else:
    from opentelemetry.exporter.otlp.proto.http import Compression
    from opentelemetry.exporter.otlp.proto.http.metric_exporter import OTLPMetricExporter

    exporter = OTLPMetricExporter(endpoint=endpoint + "/v1/metrics", compression=Compression.Gzip)

reader = PeriodicExportingMetricReader(exporter, export_interval_millis=300)
resource = Resource.create({"service.name": "shop", "service.instance.id": "i1"})
provider = MeterProvider(resource=resource, metric_readers=[reader])
meter = provider.get_meter("shop.checkout", "1.2.3")

orders = meter.create_counter("shop.orders", unit="{order}")
depth = meter.create_up_down_counter("shop.queue.depth")
latency = meter.create_histogram("shop.request.duration", unit="s")
noise = meter.create_counter("debug.loops")
temperature = meter.create_gauge("shop.temperature")

end = time.time() + seconds
n = 0
while time.time() < end:
    customer = {"customer.id": f"c{n % 23}", "region": ["eu", "us"][n % 2]}
    orders.add(1 + n % 3, customer)
    depth.add(1 if n % 3 else -1, {"region": customer["region"], "worker": n % 4})
    latency.record((n % 17) / 16, customer)
    temperature.set(20 + n % 5, {"room": f"r{n % 3}"})
    noise.add(1)
    n += 1
    time.sleep(0.01)
provider.shutdown()
print("sent")
