"""What MCP and the API share when they answer: the parser of questions, bounded answers, what an answer rests on."""
