"""Whether a reference fits production at all, before its drift alarms are believed."""
