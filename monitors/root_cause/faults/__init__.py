"""What kind of fault a violated column shows, where its values say so."""
