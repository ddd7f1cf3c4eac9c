"""The record of every change, and the chain that shows tampering."""
