"""
Apple's data export API without I/O: what to send, what an answer means, whom to trust, when to try again.

Everything here is a function or a frozen value over (status, headers, body); the transports in ``hooks/`` only carry
bytes, and the current time comes in as an argument. Sources: Apple's articles "Exporting broadcast push notification
metrics" and "Exporting delivery metrics logs" (developer.apple.com/documentation/pushkit).
"""
