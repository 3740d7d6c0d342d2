"""The core of EdgeSession: configuration, authentication, HTTP and plugin discovery."""
