"""
Apple's data export API without I/O: what to send, what each answer means, which hosts to trust, when to retry.

Everything here is a function or a frozen value over (status, headers, body). The transports in ``hooks/`` carry the
bytes, and the caller passes in the current time. Sources: Apple's articles "Exporting broadcast push notification
metrics" and "Exporting delivery metrics logs" (developer.apple.com/documentation/pushkit).
"""
